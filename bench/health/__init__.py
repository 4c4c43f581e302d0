"""What checking ten thousand backends costs, and how soon a dead one is found."""
