"""Chat templates of families that write tool calls in other ways, cut down to the parts that decide that."""

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

GEMMA = """{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}\
{% endif %}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}\
<|im_start|>{{ 'model' if m.role == 'assistant' else m.role }}
{{ m.content | trim }}<|im_end|>
{% endfor %}<|im_start|>model{{ '\\n' }}"""
"""No system message, and strict turns."""

GEMMA3 = """{% set first = '' %}{% if messages[0].role == 'system' %}{% set first = messages[0].content + '\\n\\n' %}\
{% set messages = messages[1:] %}{% endif %}{% for m in messages %}\
{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}\
<|im_start|>{{ 'model' if m.role == 'assistant' else m.role }}
{{ (first if loop.first else '') + m.content | trim }}<|im_end|>
{% endfor %}<|im_start|>model{{ '\\n' }}"""
"""One system message, which it puts before the first user message itself."""

STRICT_MISTRAL = """{%- if messages[0].role == 'system' %}
    {%- set system = messages[0].content %}{%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set ns = namespace(index=0) %}
{%- for m in loop_messages %}
    {%- if not (m.role == 'tool' or m.tool_calls is defined) %}
        {%- if (m.role == 'user') != (ns.index % 2 == 0) %}
            {{- raise_exception('After the optional system message, roles must alternate') }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{%- if system is defined %}{{- '[SYSTEM_PROMPT]' + system + '[/SYSTEM_PROMPT]' }}{%- endif %}
{%- if tools is not none %}{{- '[AVAILABLE_TOOLS]' + (tools | tojson) + '[/AVAILABLE_TOOLS]' }}{%- endif %}
{%- for m in loop_messages %}
    {%- if m.role == 'user' %}
        {{- '[INST]' + m.content + '[/INST]' }}
    {%- elif m.tool_calls is defined %}
        {{- '[TOOL_CALLS] [' }}
        {%- for call in m.tool_calls %}
            {%- if call.id | length != 9 %}{{- raise_exception('ids have length 9') }}{%- endif %}
            {{- (call.function | tojson)[:-1] + ', "id": "' + call.id + '"}' }}
            {{- '' if loop.last else ', ' }}
        {%- endfor %}
        {{- ']<|im_end|>' }}
    {%- elif m.role == 'tool' %}
        {{- '[TOOL_RESULTS]' + m.content + '[/TOOL_RESULTS]' }}
    {%- elif m.role == 'assistant' %}
        {{- m.content + '<|im_end|>' }}
    {%- else %}
        {{- raise_exception('Only user, assistant and tool roles are supported') }}
    {%- endif %}
{%- endfor %}"""
"""One system message at the front, and strict turns but for calls and their results."""

QWEN35 = """{%- for m in messages %}
    {%- if m.role == 'system' %}
        {%- if not loop.first %}{{- raise_exception('System message must be at the beginning.') }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if messages | selectattr('role', 'equalto', 'user') | list | length == 0 %}
    {{- raise_exception('No user query found in messages.') }}
{%- endif %}
{%- if tools is not none %}
    {{- '<|im_start|>system\\n# Tools\\n' + (tools | tojson) }}
    {%- if messages[0].role == 'system' %}{{- '\\n\\n' + messages[0].content }}{%- endif %}
    {{- '<|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for m in messages %}
    {%- if m.role == 'tool' %}
        {{- '<|im_start|>user\\n<tool_response>\\n' + m.content + '\\n</tool_response><|im_end|>\\n' }}
    {%- elif m.role != 'system' %}
        {{- '<|im_start|>' + m.role + '\\n' + m.content }}
        {%- for call in m.tool_calls or [] %}
            {{- '<tool_call>\\n<function=' + call.function.name + '>\\n' }}
            {%- for name, value in call.function.arguments | items %}
                {{- '<parameter=' + name + '>\\n' + value | string + '\\n</parameter>\\n' }}
            {%- endfor %}
            {{- '</function>\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{{- '<|im_start|>assistant\\n' }}"""
"""One system message, strictly first, and at least one user message."""

LAST_SYSTEM = """{% set ns = namespace(system='') %}{% for m in messages %}{% if m.role == 'system' %}\
{% set ns.system = m.content %}{% endif %}{% endfor %}<|im_start|>system
{{ ns.system }}<|im_end|>
{% for m in messages %}{% if m.role != 'system' %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endif %}{% endfor %}<|im_start|>assistant{{ '\\n' }}"""
"""All system messages but the last are dropped without a word."""
