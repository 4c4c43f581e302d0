"""Places to try guideway in: network namespaces (``lab``) and a guided tour (``demo``)."""
