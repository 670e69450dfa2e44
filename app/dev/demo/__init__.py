"""The demo: a real classifier on real texts, reviewed by the answers of real people.

Read `run.py` first: it is the story in order. `texts.py` fetches the public data, `crowd.py` says
what the recorded people answered, `classifier.py` is the model under review, `service.py` is the
HTTP that the story needs, `report.py` prints what came out.

scikit-learn comes with the optional dependency group `demo`.
"""
