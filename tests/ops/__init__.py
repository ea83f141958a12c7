"""The mediq command, the supervisor of a mesh on one machine."""
