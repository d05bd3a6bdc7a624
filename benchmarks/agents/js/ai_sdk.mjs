// AI SDK: one question with a tool, whole or streamed. Arguments: the package, the question.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const [name, question] = process.argv.slice(2);
const root = process.env.KVPROXY_ROOT;
const options = { baseURL: `${root}/v1`, apiKey: "none" };
const providers = {
  "@ai-sdk/anthropic": () => createAnthropic(options),
  "@ai-sdk/openai": () => createOpenAI(options),
  "@ai-sdk/openai-compatible": () => createOpenAICompatible({ name: "kvproxy", ...options }),
};
const call = {
  model: providers[name]()(process.env.KVPROXY_MODEL),
  system: "You are a careful assistant. ".repeat(60),
  prompt: question,
  tools: {
    weather: tool({
      description: "The weather in a city.",
      inputSchema: z.object({ city: z.string() }),
      execute: async ({ city }) => `It is sunny in ${city}.`,
    }),
  },
  stopWhen: stepCountIs(3),
};
const whole = await generateText(call);
let streamed = "";
for await (const piece of streamText(call).textStream) streamed += piece;
if (whole.steps.length < 2 || whole.text !== streamed) throw new Error(`${whole.steps.length} steps: ${whole.text} / ${streamed}`);
console.log(streamed);
