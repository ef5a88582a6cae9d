"""The dock screen: what customer and staff see at the counter, with the cloud up or down.

`app` speaks HTTP, `view` turns a board's snapshot into words. Custody, visits and judgement are others'.
"""
