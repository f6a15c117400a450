"""Runs networks on the devices: one queue, its policies, and the workers.

Task (task, tiling_plan) --Scheduler.submit--> queue: fair_queue, preemption, contention --take--> Batch
    Batch --Worker--> outputs --Scheduler.complete--> Task.on_result
"""
