"""What a policy would have done: recorded decisions folded into counts, and what these tell.

`tally` folds, `sweep` does so for every threshold of one rule at once, `errors` estimates what
would go wrong unseen, `simulation` puts the answer together. Nothing here keeps a decision.
"""
