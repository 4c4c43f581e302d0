"""``guideway doctor``: what is wrong with a node, and how to mend it.

``host`` and ``wire`` look, each in its way; what they find is :mod:`control.doctor.facts`;
``examine*`` say what that means, and are pure.
"""
