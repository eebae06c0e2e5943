"""What is compared: read from YAML and checked to the last key."""
