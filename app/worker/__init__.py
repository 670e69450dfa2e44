"""The worker: loops around flows that have to be called now and then.

A loop decides when, a flow what. Any number of workers may run; nothing here is remembered, and
nothing else breaks while none runs.
"""
