"""The objective of a training: losses over the features of VGG16."""
