"""How fast a training step is, beside the published way and other libraries.

Every row of `rows.rows` is one comparison: contenders that do the same with the same network,
batch and optimiser. A row is timed only after losses and gradients were found to agree.
"""
