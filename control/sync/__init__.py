"""What nodes of a cluster tell each other, so that a flow outlives the node it came by."""
