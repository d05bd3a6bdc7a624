"""The conversation so far, as a client sends it: tolerated, since an error in it would end the conversation.

Read ``open_question`` first: it finds the message to answer, the only one that is read strictly. The parsers of every
dialect call it, put ``notes`` in the place of items that the model cannot read, read calls and results with
``arguments``, then pass the messages through ``surrogates`` (texts cut within a character) and ``pairing`` (each result
behind its call).
"""
