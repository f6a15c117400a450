"""What the paper compares itself with. SRCNN is a network like ours (nets.super_resolution); bicubic is Pillow's."""
