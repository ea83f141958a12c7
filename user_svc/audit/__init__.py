"""The audit trail: its chain of hashes, its anchors, its queries and its verification."""
