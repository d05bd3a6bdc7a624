// LangChain JS: a tool call and its result, over chat completions as it comes. Argument: the question.
import { HumanMessage, SystemMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";

const weather = tool(async ({ city }) => `It is sunny in ${city}.`, {
  name: "weather",
  description: "The weather in a city.",
  schema: z.object({ city: z.string() }),
});
const configuration = { baseURL: `${process.env.KVPROXY_ROOT}/v1` };
const model = new ChatOpenAI({ model: process.env.KVPROXY_MODEL, apiKey: "none", configuration });
const bound = model.bindTools([weather]);
const messages = [new SystemMessage("You are a careful assistant. ".repeat(60)), new HumanMessage(process.argv[2])];
const asked = await bound.invoke(messages);
if (asked.tool_calls.length !== 1) throw new Error("no tool was called");
const call = asked.tool_calls[0];
messages.push(asked, new ToolMessage({ content: await weather.invoke(call.args), tool_call_id: call.id }));
let text = "";
for await (const piece of await bound.stream(messages)) text += piece.text;
console.log(text);
