"""Training of the checkpoints that the service serves.

    photographs --data--> content images --style net--> output images --loss_network--> features
    features --losses--> loss --Adam--> weights --runs--> run directory --publish--> checkpoint

A recipe (`recipes/`) follows this line from top to bottom.
"""
