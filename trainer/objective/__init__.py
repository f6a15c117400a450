"""What a training minimises: losses over VGG16's features."""
