"""The mediq command line, the supervisor of a mesh on one machine, the demo."""
