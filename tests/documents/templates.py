"""Chat templates of families that write tool calls in other ways, cut down to what decides that."""

from __future__ import annotations

CHATML = """{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}<|im_start|>assistant{{ '\\n' }}"""
"""No tools, no thoughts, nothing said by default."""

NO_SYSTEM = """{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}\
<|im_start|>{{ m.role }}
{{ m.content | trim }}<|im_end|>
{% endfor %}<|im_start|>assistant{{ '\\n' }}"""

LLAMA3 = """{%- set system = "" %}
{%- if messages[0].role == 'system' %}
    {%- set system = messages[0].content | trim %}{%- set messages = messages[1:] %}
{%- endif %}
{{- "<|im_start|>system\\n\\nToday Date: 26 Jul 2024\\n\\n" + system + "<|im_end|>" }}
{%- if tools is not none %}
    {%- set first = messages[0].content | trim %}{%- set messages = messages[1:] %}
    {{- '<|im_start|>user\\n\\nRespond with {"name": function name, "parameters": {}}.' }}
    {%- for t in tools %}{{- t | tojson(indent=4) + "\\n\\n" }}{%- endfor %}
    {{- first + "<|im_end|>" }}
{%- endif %}
{%- for message in messages %}
    {%- if 'tool_calls' in message %}
        {%- if not message.tool_calls | length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- '<|im_start|>assistant\\n\\n{"name": "' + call.name + '", "parameters": ' }}
        {{- call.arguments | tojson + "}<|im_end|>" }}
    {%- elif message.role == "tool" %}
        {{- "<|im_start|>ipython\\n\\n" + (message.content | tojson) + "<|im_end|>" }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n\\n' + message.content | trim + '<|im_end|>' }}
    {%- endif %}
{%- endfor %}
{{- '<|im_start|>assistant\\n\\n' }}"""

MISTRAL = """{%- for message in messages %}
    {%- if message.role == 'user' %}
        {%- if tools is not none and loop.first %}{{- "[AVAILABLE_TOOLS]" + (tools | tojson) }}{%- endif %}
        {{- "[INST]" + message.content + "[/INST]" }}
    {%- elif message.tool_calls is defined %}
        {{- "[TOOL_CALLS] [" }}
        {%- for call in message.tool_calls %}
            {%- if call.id | length != 9 %}{{- raise_exception("ids have length 9") }}{%- endif %}
            {{- (call.function | tojson)[:-1] + ', "id": "' + call.id + '"}' }}
            {{- "" if loop.last else ", " }}
        {%- endfor %}
        {{- "]" }}
    {%- elif message.role == 'tool' %}
        {{- '[TOOL_RESULTS] {"content": ' + message.content + ', "call_id": "' + message.tool_call_id + '"}' }}
    {%- else %}
        {{- message.content }}
    {%- endif %}
{%- endfor %}"""

CODER = """{%- if tools is not none %}{{- "<|im_start|>system\\n" + (tools | tojson) + "<|im_end|>\\n" }}{%- endif %}
{%- for message in messages %}
    {{- "<|im_start|>" + message.role + "\\n" + message.content }}
    {%- for call in message.tool_calls or [] %}
        {{- "<tool_call>\\n<function=" + call.function.name + ">\\n" }}
        {%- for name, value in call.function.arguments | items %}
            {{- "<parameter=" + name + ">\\n" + value | string + "\\n</parameter>\\n" }}
        {%- endfor %}
        {{- "</function>\\n</tool_call>" }}
    {%- endfor %}
    {{- "<|im_end|>\\n" }}
{%- endfor %}
{{- "<|im_start|>assistant\\n" }}"""

UNKNOWN_CALLS = CODER.replace("<tool_call>\\n<function=", "<call to=").replace("</tool_call>", "</call>")

ALWAYS_THINKS = CHATML + "<think>{{ '\\n' }}"
"""As DeepSeek R1 and QwQ: an answer begins inside of its thoughts."""
