"""Webhooks: the end of a job, told to an address that its client named.

?webhook=URL --target--> allowed, or refused with 422
the end of a job --jobs--> a message in the outbox of the job store
    --courier--> claimed, with a lease, by one replica --addresses--> a checked IP address
    --signature, sender--> one POST --courier--> delivered, or due again later
"""
