"""QueueService, in parts by what is asked: changes, tickets, numbers, live streams."""
