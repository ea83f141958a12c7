"""The rules of queues: states of a ticket, order of calling, estimates, days."""
