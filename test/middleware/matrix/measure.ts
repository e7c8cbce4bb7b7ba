import { allEndings } from './endings.ts'
import type { Place } from './places.ts'
import { bareRunRecipe, logicalContextRecipe, type Recipe } from './recipes.ts'
import { openShop } from './shop.ts'
import type { Sighting } from './sightings.ts'

/** What was seen where, by ending; a place that is not reached is missing. */
export type Measured = Record<string, Partial<Record<Place, Sighting>>>

/** By the name of a recipe. */
export const recipes = { 'logical-context': logicalContextRecipe, 'bare run': bareRunRecipe } as const
export type RecipeName = keyof typeof recipes

export type MeasuredRecipes = Record<RecipeName, Measured>

export async function measureAll(): Promise<MeasuredRecipes> {
  return {
    'logical-context': await measure(logicalContextRecipe),
    'bare run': await measure(bareRunRecipe),
  }
}

async function measure(recipe: Recipe): Promise<Measured> {
  const measured: Measured = {}
  for (const { name, server, foreign, act } of allEndings) {
    const shop = await openShop(recipe, server ?? {}, foreign)
    await act(shop)
    if (name !== 'inject') await shop.sightings.reached('socket close')
    // After it nothing more can happen: what was not seen until then was not reached.
    await shop.close()
    measured[name] = shop.sightings.of('ann')
  }
  return measured
}
