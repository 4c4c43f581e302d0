"""What thousands of backends cost guidewayd: time to a change, memory, processor time."""
