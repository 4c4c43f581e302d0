"""How long a VIP answers nobody when its node dies, and when it is handed over."""
