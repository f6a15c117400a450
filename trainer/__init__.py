"""Makes the checkpoints that the service serves.

    photographs --data--> content images --style net--> output images --loss_network--> features
    features --losses--> loss --Adam--> weights --runs--> run directory --publish--> checkpoint

A recipe (`recipes/`) is that line written out, to be read from top to bottom.
"""
