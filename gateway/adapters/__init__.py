"""The health of the other services, and the files of the API documentation."""
