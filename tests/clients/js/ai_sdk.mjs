// The AI SDK of three generations with each of its providers: text, streams, tools, objects, reasoning and errors.
// Its providers hold every answer against a zod schema, so an answer that they refuse fails here.
// Prints one line of JSON: how many checks held, and what did not.

import assert from "node:assert/strict";
import { z } from "zod";

const url = process.env.KVPROXY_URL;
const model = process.env.KVPROXY_MODEL;
const key = process.env.KVPROXY_KEY ?? "none";

const generations = [
  { name: "ai7", ai: "ai", providers: "@ai-sdk/" },
  { name: "ai6", ai: "ai6", providers: "ai6-" },
  { name: "ai5", ai: "ai5", providers: "ai5-" },
];

async function models(prefix) {
  const { createAnthropic } = await import(`${prefix}anthropic`);
  const { createOpenAI } = await import(`${prefix}openai`);
  const { createOpenAICompatible } = await import(`${prefix}openai-compatible`);
  const settings = { baseURL: `${url}/v1`, apiKey: key };
  const openai = createOpenAI(settings);
  const compatible = createOpenAICompatible({ 
    name: "kvproxy",
    includeUsage: true,
    supportsStructuredOutputs: true,
    ...settings,
  });
  return {
    anthropic: createAnthropic(settings)(model),
    "openai-responses": openai.responses(model),
    "openai-chat": openai.chat(model),
    "openai-completion": openai.completion(model),
    compatible: compatible(model),
    "compatible-completion": compatible.completionModel(model),
  };
}

const plain = (name) => name.endsWith("completion");

/** Whole and streamed answers of one model. Each check is a function that throws. */
function checks({ ai, generation, name, language }) {
  const { generateText, streamText, generateObject, tool, stepCountIs, isStepCount, jsonSchema } = ai;
  const asked = { model: language, maxRetries: 0 };
  const steps = (count) => (stepCountIs ?? isStepCount)(count);
  const weather = () =>
    tool({
      description: "The weather of a town",
      inputSchema: z.object({ town: z.string() }),
      execute: async () => ({ celsius: 20 }),
    });

  async function streamed(options) {
    const errors = [];
    const result = streamText({ ...asked, ...options, onError: ({ error }) => errors.push(error) });
    const parts = [];
    for await (const part of result.fullStream) parts.push(part);
    const failed = parts.filter((part) => part.type === "error").map((part) => part.error);
    if (errors.length + failed.length) throw (errors[0] ?? failed[0]);
    return { parts, text: await result.text, usage: await result.usage, result };
  }

  const all = {
    async whole() {
      const { text, usage, finishReason } = await generateText({ ...asked, prompt: "Say something." });
      assert.ok(text.length > 0);
      assert.equal(finishReason, "stop");
      // The oldest generation tells Anthropic's three input counts apart.
      const prompt = usage.inputTokens + (usage.cachedInputTokens ?? 0);
      assert.ok(prompt > 0 && usage.outputTokens > 0, JSON.stringify(usage));
    },
    async stream() {
      const whole = await generateText({ ...asked, prompt: "Say something." });
      const { text, usage } = await streamed({ prompt: "Say something." });
      assert.equal(text, whole.text);
      assert.equal(usage.inputTokens, whole.usage.inputTokens, "streamed usage counts another prompt");
      assert.equal(usage.outputTokens, whole.usage.outputTokens);
    },
    async "refusal by status"() {
      const error = await generateText({ ...asked, prompt: "x".repeat(20_000) }).then(() => null, (e) => e);
      assert.equal(error?.statusCode, 400, String(error));
      assert.match(error.message, /context|tokens/i);
    },
    async "failure in a stream"() {
      // @ai-sdk/openai 2 passes over `response.failed`, which is how OpenAI's own service ends such a stream.
      if (generation === "ai5" && name === "openai-responses") return;
      const error = await streamed({ prompt: "Break off." }).then(() => null, (e) => e);
      assert.ok(error, "a stream that broke off went unnoticed");
      assert.doesNotMatch(String(error), /validation|ZodError/i);
    },
  };
  if (plain(name)) return all;
  Object.assign(all, {
    async tools() {
      const done = await generateText({
        ...asked,
        prompt: "Call the tool.",
        tools: { weather: weather() },
        stopWhen: steps(2),
      });
      assert.equal(done.steps.length, 2, JSON.stringify(done.steps.map((step) => step.content)));
      assert.deepEqual(done.steps[0].toolCalls[0].input, { town: "Bern" });
      assert.ok(done.text.length > 0);
    },
    async "tools, streamed"() {
      const { result } = await streamed({
        prompt: "Call the tool.",
        tools: { weather: weather() },
        stopWhen: steps(2),
      });
      const taken = await result.steps;
      assert.deepEqual(taken[0].toolCalls[0].input, { town: "Bern" });
      assert.equal(taken.length, 2);
    },
    async "a forced tool"() {
      const done = await generateText({
        ...asked,
        prompt: "Anything.",
        tools: { weather: weather() },
        toolChoice: { type: "tool", toolName: "weather" },
      });
      assert.equal(done.toolCalls[0].toolName, "weather");
    },
    async object() {
      const schema = jsonSchema({
        type: "object",
        properties: { town: { type: "string" }, celsius: { type: "integer" } },
        required: ["town", "celsius"],
        additionalProperties: false,
      });
      const { object } = await generateObject({ ...asked, prompt: "Anything.", schema });
      assert.equal(typeof object.celsius, "number");
    },
    async reasoning() {
      const done = await generateText({ ...asked, prompt: "Think first." });
      assert.match(done.text, /Bern/);
      assert.doesNotMatch(done.text, /think/);
    },
    async "reasoning, streamed"() {
      const { text, parts } = await streamed({ prompt: "Think first." });
      assert.match(text, /Bern/);
      const thought = parts.filter((part) => part.type === "reasoning-delta");
      if (name !== "openai-chat" && name !== "openai-responses") assert.ok(thought.length > 0);
    },
    async "cut off"() {
      const { finishReason } = await generateText({ ...asked, prompt: "Go on.", maxOutputTokens: 1 });
      assert.equal(finishReason, "length");
    },
  });
  return all;
}

const faults = [];
let held = 0;
for (const { name: generation, ai: module, providers } of generations) {
  const ai = await import(module);
  globalThis.AI_SDK_LOG_WARNINGS = false;
  for (const [name, language] of Object.entries(await models(providers))) {
    for (const [what, check] of Object.entries(checks({ ai, generation, name, language }))) {
      try {
        await check();
        held += 1;
      } catch (error) {
        const cause = error?.cause ? ` (${String(error.cause.message ?? error.cause).slice(0, 600)})` : "";
        faults.push(`${generation} ${name} ${what}: ${String(error).slice(0, 600)}${cause}`);
      }
    }
  }
}
console.log(JSON.stringify({ held, faults }));
process.exit(faults.length ? 1 : 0);
