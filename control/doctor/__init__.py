"""``guideway doctor``: what is wrong with a node, and how to mend it.

``host`` and ``wire`` look, each in its way; what they find is in ``facts``
and ``answers``. ``examine``, ``vrrp``, ``paths`` and ``claims`` say what that means: pure.
"""
