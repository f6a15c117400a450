"""What training and serving must agree on: if it differed between them, the picture would change.

    uint8 (H, W, 3) RGB --pixels--> float32 (N, 3, H, W) in [0, 1] --net--> float32 (N, 3, sH, sW) --pixels--> uint8

A net is built from a name and a config (`architecture`), and travels with its weights in a checkpoint
(`checkpoint`). Importing this package loads nothing; import the modules.
"""
