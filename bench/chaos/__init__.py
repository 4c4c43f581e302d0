"""Traffic that must not notice what is done to guidewayd."""
