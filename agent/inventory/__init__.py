"""What this machine is made of: hardware, operating system, disks, network, software. Read in a process of its own.

`python -m agent.inventory` prints the inventory as JSON; `watch` decides when it is read, and whether it is sent.
"""
