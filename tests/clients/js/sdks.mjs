// OpenAI's and Anthropic's JavaScript SDKs and OpenAI's agents: what their own parsers and accumulators make of answers.
// Prints one line of JSON: how many checks held, and what did not.

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { Agent, OpenAIProvider, Runner, setTracingDisabled, tool } from "@openai/agents";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const url = process.env.KVPROXY_URL;
const model = process.env.KVPROXY_MODEL;
const apiKey = process.env.KVPROXY_KEY ?? "none";
const settings = { apiKey, maxRetries: 0 };
const openai = new OpenAI({ baseURL: `${url}/v1`, ...settings });
const anthropic = new Anthropic({ baseURL: url, ...settings });
const messages = [{ role: "user", content: "Say something." }];
const call = [{ role: "user", content: "Call the tool." }];
const schema = { type: "object", properties: { town: { type: "string" } }, required: ["town"] };
const anthropicTool = { name: "weather", description: "The weather of a town", input_schema: schema };

const sum = (usage) =>
  usage.input_tokens + usage.cache_creation_input_tokens + usage.cache_read_input_tokens;

async function agent(useResponses) {
  const modelProvider = new OpenAIProvider({ openAIClient: openai, useResponses });
  const weather = tool({
    name: "weather",
    description: "The weather of a town",
    parameters: z.object({ town: z.string() }),
    execute: async () => ({ celsius: 20 }),
  });
  const runner = new Runner({ modelProvider, tracingDisabled: true });
  const asked = new Agent({ name: "guide", instructions: "Help.", model, tools: [weather] });
  const done = await runner.run(asked, "Call the tool.");
  assert.match(done.finalOutput, /degrees/);
  const streamed = await runner.run(asked, "Call the tool.", { stream: true });
  for await (const _ of streamed);
  await streamed.completed;
  assert.match(streamed.finalOutput, /degrees/);
}

const checks = {
  async "openai chat"() {
    const whole = await openai.chat.completions.create({ model, messages, n: 2, logprobs: true, top_logprobs: 2 });
    assert.equal(whole.choices.length, 2);
    const runner = openai.chat.completions.stream({ model, messages, stream_options: { include_usage: true } });
    const final = await runner.finalChatCompletion();
    assert.ok(final.choices[0].message.content.length > 0);
    assert.deepEqual((await runner.totalUsage()).prompt_tokens, whole.usage.prompt_tokens);
  },
  async "openai parsed"() {
    const response_format = zodResponseFormat(z.object({ town: z.string() }), "place");
    const parsed = await openai.chat.completions.parse({ model, messages, response_format });
    assert.equal(typeof parsed.choices[0].message.parsed.town, "string");
  },
  async "openai responses"() {
    const whole = await openai.responses.create({ model, input: "Say something." });
    assert.ok(whole.output_text.length > 0);
    const final = await openai.responses.stream({ model, input: "Say something." }).finalResponse();
    assert.equal(final.output_text, whole.output_text);
    assert.equal((await openai.responses.retrieve(whole.id)).id, whole.id);
  },
  async "openai lists"() {
    const names = [];
    for await (const { id } of openai.models.list()) names.push(id);
    assert.ok(names.includes(model), names);
    await assert.rejects(openai.chat.completions.create({ model: "nobody", messages }), OpenAI.NotFoundError);
  },
  async "anthropic whole"() {
    const whole = await anthropic.messages.create({ model, messages, max_tokens: 64 });
    const { input_tokens } = await anthropic.messages.countTokens({ model, messages });
    assert.equal(sum(whole.usage), input_tokens);
    assert.ok(!("citations" in whole.content[0]));
  },
  async "anthropic stream"() {
    for (const text of ["Something new.", "Something new."]) {
      const asked = [{ role: "user", content: text }];
      const usages = [];
      const stream = anthropic.messages.stream({ model, messages: asked, max_tokens: 64 });
      stream.on("streamEvent", (event) => {
        if (event.type === "message_start") usages.push({ ...event.message.usage });
        if (event.type === "message_delta") usages.push({ ...event.usage });
      });
      const final = await stream.finalMessage();
      const { input_tokens } = await anthropic.messages.countTokens({ model, messages: asked });
      for (const usage of [...usages, final.usage]) assert.equal(sum(usage), input_tokens);
      for (const name of ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"])
        assert.equal(usages[0][name], usages[1][name], name);
    }
  },
  async "anthropic tools"() {
    const asked = { model, messages: call, max_tokens: 64, tools: [anthropicTool] };
    const whole = await anthropic.messages.create(asked);
    const streamed = await anthropic.messages.stream(asked).finalMessage();
    assert.deepEqual(streamed.content.at(-1).input, { town: "Bern" });
    assert.equal(whole.stop_reason, "tool_use");
    const refused = anthropic.messages.create({ ...asked, max_tokens: -1 });
    await assert.rejects(refused, Anthropic.BadRequestError);
  },
  "agents over responses": () => agent(true),
  "agents over chat": () => agent(false),
};

setTracingDisabled(true);
const faults = [];
for (const [what, check] of Object.entries(checks)) {
  await check().catch((error) => faults.push(`${what}: ${String(error?.stack ?? error).slice(0, 800)}`));
}
console.log(JSON.stringify({ held: Object.keys(checks).length - faults.length, faults }));
process.exit(faults.length ? 1 : 0);
