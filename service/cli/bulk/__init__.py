"""`impasto bulk`: millions of images, on the local machine or on a Ray cluster. The path of an image:

    SOURCE --places--> listing, without what `manifest` has --cluster--> batches
        --worker (an actor for each device)--> the pipeline of the service --places--> DEST
        --records--> manifest, progress

`command` joins them. Only `cluster` needs Ray, and only `worker` needs torch.
"""
