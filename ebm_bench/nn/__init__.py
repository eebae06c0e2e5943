"""What models are built of: modules, layers, flows."""
