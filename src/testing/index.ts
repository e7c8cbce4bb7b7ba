export { captureLog, type CapturedLog, type LogLine } from './capture-log.ts'
export { type CapturedReply, type CapturedRequest, type CapturedRequests, captureRequests } from './capture-requests.ts'
export { extractFrom, type FakeCarrier, fakeCarrier, injectInto } from './carriers.ts'
export { describeMessages } from './message-contract.ts'
export type { Engine, EngineQueue, QueueOptions, SeenValues, WorkerProcess } from './message-engine.ts'
export { describeMiddleware, type ServedRequests, type ServeRequests } from './middleware-contract.ts'
export { failOnOpenWork, type OpenWork, type OpenWorkOptions, type TestHooks, watchOpenWork } from './open-work.ts'
export { describePropagator, type PropagatorSamples } from './propagator-contract.ts'
export type { Assertion, TestRunner } from './runner.ts'
export { runWith, type RunWithOptions } from './run-with.ts'
export {
  type InjectableApp,
  type InjectedRequest,
  type InjectedResponse,
  sendRequest,
  type TestRequest,
  valueHeaders,
} from './send-request.ts'
export { type TaskOwner, tasksEnded, type TasksEndedOptions } from './tasks-ended.ts'
