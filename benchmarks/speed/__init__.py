"""Speed of training steps, compared with plain implementations and other libraries.

Each row of `rows.rows` is one comparison: contenders that do the same work with the same network,
batch and optimiser. A row is timed only after losses and gradients were found to agree.
"""
