"""The dock screen: what customer and staff see at the counter, with the cloud up or down.

`app` is the list of addresses, `pages` and `desk` speak HTTP, `view` and its neighbours find the words.
Custody, visits, questions and judgement are others'.
"""
