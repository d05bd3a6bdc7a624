"""Prompts: from messages, tools and documents to the exact tokens of the model's prompt.

Read ``compose`` first: ``Composer`` calls everything else here. ``message_contents`` puts placeholders in the place
of documents, ``history`` and ``roles`` arrange messages as the template takes them, ``tool_texts`` gives tools one
canonical form, ``template`` renders, and ``tokens.token_join`` tokenises the result. ``model_format`` finds a
template's abilities by probes, once. ``plain_call`` is the way out: the same request for another model.
"""
