// The AI SDK over a document that is published once: two questions, one of them streamed, then a tool call.
//
//   node ask.js FILE [openai-compatible | openai | anthropic]
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const [file, dialect = "openai-compatible"] = process.argv.slice(2);
const root = (process.env.KVPROXY_BASE_URL || "http://127.0.0.1:8321").replace(/(\/v1)?\/*$/, "");
const apiKey = process.env.KVPROXY_API_KEY || "none";
const baseURL = `${root}/v1`;

// Each of the three is all that a program of yours needs to be pointed at the proxy.
const providers = {
  "openai-compatible": () => createOpenAICompatible({ name: "kvproxy", baseURL, apiKey, includeUsage: true }),
  openai: () => createOpenAI({ baseURL, apiKey }), // the Responses API; createOpenAI(…).chat(model) for chat completions
  anthropic: () => createAnthropic({ baseURL, apiKey }),
};

async function kv(method, path, body) {
  const headers = { authorization: `Bearer ${apiKey}`, "content-type": "application/json" };
  const answer = await fetch(root + path, { method, headers, body: body && JSON.stringify(body) });
  const said = await answer.json();
  if (!answer.ok) throw new Error(`${root} answered ${answer.status}: ${said.error?.message}`);
  return said;
}

function saved({ inputTokens, inputTokenDetails }) {
  return `${inputTokenDetails.cacheReadTokens} of ${inputTokens} prompt tokens were cached`;
}

const text = await readFile(file, "utf8");
const document = `examples/${basename(file)}`;
const served = (await kv("GET", "/v1/models")).data.find((model) => model.owned_by === "kvproxy");
const { info } = await kv("POST", "/kv/v1/documents", { id: document, text, visibility: "private" });
console.log(`published: ${document}, ${info.tokens} tokens; asking ${served.id} as ${dialect}`);

try {
  const asked = {
    model: providers[dialect]()(served.id),
    system: `${text}\n\nAnswer briefly, from the text above.`, // the document first, then the task
    temperature: 0,
    maxOutputTokens: 24,
    maxRetries: 0,
  };

  const whole = await generateText({ ...asked, prompt: "What is this text about?" });
  console.log(`\nwhole: ${whole.text}\n${saved(whole.usage)}`);

  let failed;
  const streamed = streamText({
    ...asked,
    prompt: "Who is it written for?",
    onError: ({ error }) => (failed = error),
  });
  process.stdout.write("\nstreamed: ");
  for await (const piece of streamed.textStream) process.stdout.write(piece);
  if (failed) throw failed;
  console.log(`\n${saved(await streamed.usage)}`);

  const looked = await generateText({
    ...asked,
    maxOutputTokens: 60,
    prompt: "Look up the preamble.",
    tools: {
      lookUp: tool({
        description: "Look up a section of the text.",
        inputSchema: z.object({ section: z.enum(["preamble", "terms"]) }),
        execute: async ({ section }) => `The ${section} begins with the word "The".`,
      }),
    },
    // A small model calls when it must, and answers when it cannot call.
    prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? "required" : "none" }),
    stopWhen: stepCountIs(2),
  });
  const calls = looked.steps.flatMap((step) => step.toolCalls);
  console.log(`\ntool: ${calls.map((call) => `${call.toolName}(${JSON.stringify(call.input)})`).join(", ")}`);
  console.log(`then: ${looked.text}\n${saved(looked.totalUsage ?? looked.usage)}`);
} finally {
  await kv("DELETE", `/kv/v1/documents/${document.split("/").map(encodeURIComponent).join("/")}`);
}
