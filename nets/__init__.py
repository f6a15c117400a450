"""The networks and their data: everything that training and serving share because it changes the output picture.

    uint8 (H, W, 3) RGB --pixels--> float32 (N, 3, H, W) in [0, 1] --net--> float32 (N, 3, sH, sW) --pixels--> uint8

`architecture` builds a network from a name and a config; `checkpoint` stores it with its weights. Importing this
package loads nothing; import the modules.
"""
