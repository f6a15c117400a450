"""Runs the networks of `nets` in bands of rows: the same output in less memory, faster on a CPU.

pictures --run.compute--> style.stylize --bands--> pictures
                          upscaler.upscale
"""
