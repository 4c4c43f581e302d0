"""What guidewayd tells Prometheus."""
