"""The commands of `impasto`. A folder of pictures travels:

    IN... --files--> sources --output_paths--> (source, target)s --backends--> encoded pictures --writing--> files
                                             `run` joins them, `report` tells

`backends` are two: the service's own engine in this process (`local`), or a server, through the client. Only `local`,
`listing`, `bench` and `server` need torch, and are imported when they are needed: help and completion do not wait for
it.
"""
