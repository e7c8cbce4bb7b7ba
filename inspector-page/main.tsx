import { render } from 'preact'
import { App } from './app.tsx'
import { listen } from './events.ts'
import { initial, type State } from './state.ts'
import './style.css'

const root = document.querySelector('main') as HTMLElement
let state = initial
let isDrawing = false
/** What arrived since the last drawing. Nothing of it is shown while the page is paused. */
let news: Partial<State> = {}

/** Draws at most once for each frame. */
function update(change: Partial<State>): void {
  state = { ...state, ...change }
  if (isDrawing) return
  isDrawing = true
  requestAnimationFrame(() => {
    isDrawing = false
    render(<App {...state} update={update} />, root)
  })
}

/** Many rows can arrive in a second. They are drawn five times a second. */
setInterval(() => {
  const isMoving = state.isConnected && [...state.rows.values()].some(({ state: own }) => own !== 'ended')
  if (state.isPaused || (Object.keys(news).length === 0 && !isMoving)) return
  update({ ...news, now: Date.now() })
  news = {}
}, 200)

listen({
  onRows(rows) {
    news = { ...news, rows: new Map(rows) }
  },
  onStatus(statuses) {
    news = { ...news, statuses }
  },
  onConnection: (isConnected) => update({ isConnected }),
})
update({})
