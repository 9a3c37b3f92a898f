"""One file per rule, found by its name, which is that of the rule in conf/data; `RULE` in it is the rule's class."""
