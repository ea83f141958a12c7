"""Who calls: certificates of services, tokens of people, keys of both."""
