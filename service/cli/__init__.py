"""The commands of `impasto`. The path of a folder of pictures:

    IN... --files--> sources --output_paths, records--> work items --backends--> encoded outputs --writing--> files
                                              `run` joins them, `report` reports

`bulk` is the same for millions of images, on Ray. There are two backends: the engine of the service in this process
(`local`), or a server, through the client. Only `local`, `bench`, `server` and `bulk.worker` need torch. They are
imported when they are needed, so that help, completion, `catalogue` and everything that can be refused early do not
wait for it.
"""
