// OpenAI Agents SDK for JavaScript, over the Responses API as it comes. Argument: the question.
import { Agent, OpenAIProvider, Runner, setTracingDisabled, tool } from "@openai/agents";
import { z } from "zod";

setTracingDisabled(true);
const provider = new OpenAIProvider({ baseURL: `${process.env.KVPROXY_ROOT}/v1`, apiKey: "none" });
const weather = tool({
  name: "weather",
  description: "The weather in a city.",
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => `It is sunny in ${city}.`,
});
const agent = new Agent({
  name: "Clerk",
  model: process.env.KVPROXY_MODEL,
  instructions: "You are a careful assistant. ".repeat(60),
  tools: [weather],
});
const result = await new Runner({ modelProvider: provider }).run(agent, process.argv[2]);
console.log(result.finalOutput);
