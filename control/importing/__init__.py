"""Other load balancers' configurations, as guideway's. Pure but for ``files``."""
