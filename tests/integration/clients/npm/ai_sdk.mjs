// The Vercel AI SDK against a gateway: `node ai_sdk.mjs PROVIDER BASE_URL`. Prints what it saw as JSON.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, embedMany, generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";

globalThis.AI_SDK_LOG_WARNINGS = false;
const [name, baseURL] = process.argv.slice(2);
const variables = { shop: "Acme" };
const access = { baseURL, apiKey: "none", headers: { "x-trimtab-variables": JSON.stringify(variables) } };
const openai = createOpenAI(access);
const anthropic = createAnthropic(access);
const compatible = createOpenAICompatible({
  name: "trimtab",
  baseURL,
  apiKey: "none",
  includeUsage: true,
  supportsStructuredOutputs: true,
  transformRequestBody: (body) => ({ ...body, trimtab: { variables } }),
});
const model = { chat: openai.chat, responses: openai.responses, messages: anthropic, compatible }[name];
const usual = {
  model: model("support-reply"),
  maxOutputTokens: 300,
  maxRetries: 0,
  providerOptions: { openai: { store: false } }, // or the provider refers to answers that nobody keeps
};
const question = { role: "user", content: "Where is order A-1007?" };
const ask = { ...usual, messages: [question] };
const seen = {};

const looked = [];
const findOrder = tool({
  description: "Finds an order.",
  inputSchema: z.object({ order_id: z.string() }),
  execute: ({ order_id }) => {
    looked.push(order_id);
    return { carrier: "Blue Ox" };
  },
});
const loop = { ...ask, tools: { findOrder }, stopWhen: isStepCount(4) };
const verdict = Output.object({ schema: z.object({ order_id: z.string(), verdict: z.enum(["late", "lost"]) }) });

const said = (text, finish, usage, { headers }) => ({
  text,
  finish,
  tokens: [usage.inputTokens, usage.outputTokens],
  release: headers["x-trimtab-release"],
  generation: headers["x-trimtab-generation"],
});
const steps = (taken) =>
  taken.map((step) => ({
    finish: step.finishReason,
    calls: step.toolCalls.map((call) => [call.toolName, call.input]),
    results: step.toolResults.map((result) => result.output),
  }));

async function streamed(options) {
  const kinds = new Set();
  const result = streamText({ ...options, onError: () => {} }); // or it prints them; they are among the parts too
  let text = "";
  for await (const part of result.stream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") text += part.text;
    kinds.add(part.type);
  }
  return { result, text, kinds: [...kinds] };
}

async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    if (!APICallError.isInstance(error)) throw error;
    const { type, param, code } = JSON.parse(error.responseBody).error;
    const shown = { status: error.statusCode, type: error.data.error.type, message: error.message };
    return { ...shown, same: type === shown.type, param, code, release: error.responseHeaders["x-trimtab-release"] };
  }
}

const plain = await generateText(ask);
seen.plain = said(plain.text, plain.finishReason, plain.usage, plain.response);

const stream = await streamed(ask);
const { result } = stream;
seen.streamed = said(stream.text, await result.finishReason, await result.usage, await result.response);

const looped = await generateText(loop);
seen.loop = { text: looped.text, steps: steps(looped.steps), tokens: looped.usage.outputTokens };

const streamedLoop = await streamed(loop);
seen.streamedLoop = {
  text: streamedLoop.text,
  steps: steps(await streamedLoop.result.steps),
  tokens: (await streamedLoop.result.totalUsage).outputTokens,
};
seen.kinds = streamedLoop.kinds;
seen.looked = looked;

seen.object = (await generateText({ ...ask, output: verdict })).output;
seen.streamedObject = await (await streamed({ ...ask, output: verdict })).result.output;

const more = [question, ...plain.response.messages, { role: "user", content: "And where is order B-2002?" }];
seen.turns = (await generateText({ ...usual, messages: more })).text;

seen.pinned = await refused(generateText({ ...ask, temperature: 1 }));
seen.streamedPinned = await refused(streamed({ ...ask, temperature: 1 }));
seen.unknown = await refused(generateText({ ...ask, model: model("support-replay") }));
if (name === "responses") seen.reference = await refused(generateText({ ...usual, providerOptions: {}, messages: more }));

const embedder = { chat: createOpenAI({ ...access, headers: {} }), compatible }[name]?.embeddingModel("search");
if (embedder) seen.dimensions = (await embedMany({ model: embedder, values: ["a", "b"] })).embeddings.map((e) => e.length);

const controller = new AbortController();
seen.parts = [];
for await (const part of streamText({ ...ask, abortSignal: controller.signal }).stream) {
  if (part.type === "text-delta") controller.abort();
  seen.parts.push(part.type);
}

console.log(JSON.stringify(seen));
